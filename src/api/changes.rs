//! Changes of what is there: what all of them take is written here once.

use super::access::Caller;
use super::answer::Made;
use super::firm;
use super::precondition::{Precondition, Standing};
use super::problem::Problem;
use super::service::Service;
use crate::journal::{Author, Journal, JournalError, Stated, Terms};
use daybook_ledger::CommitKey;

/// A change that somebody asks for.
pub(super) struct Asked<I> {
    /// Who asks for it.
    pub(super) caller: Caller,
    /// What is to be changed.
    pub(super) id: I,
    /// The key under which it is done once, if there is one.
    pub(super) key: Option<CommitKey>,
    /// As what it must stand.
    pub(super) precondition: Precondition,
}

impl<I: Copy + Send + 'static> Asked<I> {
    /// Records a fact about the firm, once under the key, if what it changes stands as it must; and shows what came of it.
    pub(super) async fn record<N: Send + 'static, T: Send + 'static>(
        self,
        service: &Service,
        new: N,
        standing: impl Fn(&Journal, I) -> Result<Standing, Problem> + Send + 'static,
        write: impl Fn(&Journal, &Author, I, &N, &Terms) -> Result<Stated, JournalError> + Send + 'static,
        show: impl FnOnce(&Journal, &Caller, &Stated) -> Result<Made<T>, Problem> + Send + 'static,
    ) -> Result<Made<T>, Problem> {
        let Self { caller, id, key, precondition } = self;
        service
            .blocking(move |journal| {
                let author = caller.author();
                let stated = firm::write(
                    journal,
                    &precondition,
                    key,
                    || standing(journal, id),
                    |terms| write(journal, &author, id, &new, terms),
                )?;
                show(journal, &caller, &stated)
            })
            .await
    }
}

/// The routes of changes of one kind of thing: what they are about, as the document names it, and of each change what the
/// document says of it, how it is called for, and the function that does it.
macro_rules! changes {
    (
        $(#[doc = $about:tt])+
        $routes:ident, $tag:tt, $id:ident: $key:ty, $the:tt, $since:tt;
        $(
            $(#[doc = $doc:tt])+
            $change:ident($input:ty) -> $made:ty = $method:tt $path:tt $operation:tt;
        )+
    ) => {
        $(#[doc = $about])+
        pub(in crate::api) struct $routes(pub(in crate::api) $crate::api::service::Service);

        #[poem_openapi::OpenApi(tag = $tag)]
        impl $routes {
            $(
                $(#[doc = $doc])+
                #[oai(path = $path, method = $method, operation_id = $operation)]
                #[expect(
                    clippy::too_many_arguments,
                    reason = "they are the route's parameters, as the document lists them"
                )]
                async fn $change(
                    &self,
                    caller: $crate::api::access::Caller,
                    attempt: $crate::api::attempt::Attempt,
                    precondition: $crate::api::precondition::Precondition,
                    #[doc = $the]
                    $id: poem_openapi::param::Path<$key>,
                    /// Which attempt it is: the same request sent again under one key is done once
                    #[oai(name = "Idempotency-Key")]
                    _key: poem_openapi::param::Header<Option<String>>,
                    #[doc = $since]
                    #[oai(name = "If-Match")]
                    _if_match: poem_openapi::param::Header<Option<String>>,
                    input: $crate::api::body::Input<$input>,
                ) -> Result<$crate::api::answer::Made<$made>, $crate::api::problem::Problem> {
                    let asked = $crate::api::changes::Asked {
                        key: attempt.commit_key(&caller, &input.canonical),
                        caller,
                        id: $id.0.0,
                        precondition,
                    };
                    $change(&self.0, asked, input.value).await
                }
            )+
        }
    };
}

pub(super) use changes;
