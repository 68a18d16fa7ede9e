//! Watched folders: a broker's export that is put into one is imported as `import` would, once it is whole. What lies in
//! a folder is its owner's: nothing is moved, renamed or deleted.

use super::board::{Board, Source, State};
use super::dropped::{Dropped, Kind};
use super::pace::WallClock;
use crate::config;
use crate::importers::{Format, PriceOptions};
use crate::journal::{Author, ImportRequest, Journal, JournalError};
use daybook_projections::ImportState;
use daybook_schemas::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The most files whose faults the board tells.
const TOLD_MAX: usize = 5;
/// The most characters of one file's faults on the board; the log has all of them.
const TOLD_CHARS_MAX: usize = 600;
/// What became of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Became {
    /// It was imported, with so many new events and rows kept aside.
    Imported {
        /// Events that were appended.
        appended: u64,
        /// Rows that were kept aside.
        quarantined: u64,
    },
    /// The ledger had it already.
    Known,
    /// Its import was reverted; it is not imported again unasked.
    Reverted,
    /// It cannot be imported: what is wrong.
    Refused(String),
}

/// What one look into a folder brought.
#[derive(Clone, Default, Debug)]
pub(crate) struct Gathered {
    /// What became of files that were dealt with now, by name.
    pub(crate) files: BTreeMap<String, Became>,
    /// Files that lie there and cannot be imported, and why; those of earlier looks among them.
    pub(crate) refused: BTreeMap<String, String>,
    /// Files that may still be written.
    pub(crate) unfinished: Vec<String>,
}

impl Gathered {
    /// Events that were appended.
    pub(crate) fn appended(&self) -> u64 {
        self.files
            .values()
            .map(|became| if let Became::Imported { appended, .. } = became { *appended } else { 0 })
            .sum()
    }

    fn quarantined(&self) -> u64 {
        let of = |became: &Became| match became {
            Became::Imported { quarantined, .. } => *quarantined,
            _ => 0,
        };
        self.files.values().map(of).sum()
    }
}

/// A folder, and what was seen in it.
#[derive(Debug)]
struct Watched {
    config: config::Folder,
    format: Format,
    dropped: Dropped,
}

impl Watched {
    fn new(config: &config::Folder) -> Result<Self, String> {
        let format: Format = config.format.parse()?;
        let kind = Kind { key: "`path` of the folder", tables: format != Format::Alpaca, ending: None };
        Ok(Self { config: config.clone(), format, dropped: Dropped::new(config.path.clone(), kind) })
    }

    /// Looks into the folder and imports what is whole. With `at_once` files are taken as they are.
    ///
    /// # Errors
    /// That the folder cannot be read, or that the ledger takes nothing now.
    fn gather(&mut self, journal: &Journal, at_once: bool) -> Result<Gathered, String> {
        let mut files = BTreeMap::new();
        let Self { config, format, dropped } = self;
        let found = dropped.gather(at_once, &mut |name, bytes| {
            let became = import(config, *format, journal, name, bytes)?;
            let refusal = match &became {
                Became::Refused(why) => Some(why.clone()),
                _ => None,
            };
            files.insert(name.to_owned(), became);
            Ok(refusal)
        })?;
        for name in found.fresh {
            // What could not even be read became something, too.
            let why = found.refused.get(&name).cloned().unwrap_or_default();
            files.entry(name).or_insert(Became::Refused(why));
        }
        Ok(Gathered { files, refused: found.refused, unfinished: found.unfinished })
    }
}

fn import(
    config: &config::Folder,
    format: Format,
    journal: &Journal,
    name: &str,
    bytes: &[u8],
) -> Result<Became, String> {
    let request = ImportRequest {
        format,
        file_name: name,
        bytes,
        portfolio: Some(config.portfolio),
        prices: PriceOptions::default(),
        dry_run: false,
    };
    // One that somebody took back is not to come in again by itself.
    match journal.standing_import(&request).map_err(|error| error.to_string())? {
        Some(ImportState::Visible) => return Ok(Became::Known),
        Some(ImportState::Reverted) => return Ok(Became::Reverted),
        Some(ImportState::Pending) | None => {}
    }
    let author =
        Author { actor: "sync".into(), source: "folder".into(), correlation: None, reaches_all: true };
    match journal.import(&author, &request, None, &|_, _| {}) {
        Ok(report) => {
            for warning in &report.warnings {
                tracing::warn!(folder = %config.name, "{warning}");
            }
            Ok(Became::Imported {
                appended: report.events.values().sum(),
                quarantined: report.quarantined.len() as u64,
            })
        }
        Err(error @ (JournalError::Invalid(_) | JournalError::Conflict { .. })) => {
            Ok(Became::Refused(error.to_string()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Starts a task for each folder. They end when they are told to stop, after the file that they import.
pub(crate) fn start(
    folders: &[config::Folder],
    journal: &Arc<Journal>,
    board: &Board,
    clock: &Arc<dyn WallClock>,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for config in folders {
        let source = board.add(&config.name, "folder", Some(config.portfolio));
        match Watched::new(config) {
            Ok(watched) => {
                tasks.push(tokio::spawn(keep(watched, journal.clone(), clock.clone(), source, stop.clone())));
            }
            Err(why) => source.update(|status| {
                status.state = State::Halted;
                status.detail = Some(why);
            }),
        }
    }
    tasks
}

/// Looks into each folder once and imports what lies there, by the folder's name.
pub(crate) async fn run_once(
    folders: &[config::Folder],
    journal: &Arc<Journal>,
) -> Vec<(String, Result<Gathered, String>)> {
    let mut all = Vec::new();
    for config in folders {
        let gathered = match Watched::new(config) {
            Ok(watched) => gather(watched, journal.clone(), true).await.1,
            Err(why) => Err(why),
        };
        all.push((config.name.clone(), gathered));
    }
    all
}

async fn gather(
    mut watched: Watched,
    journal: Arc<Journal>,
    at_once: bool,
) -> (Option<Watched>, Result<Gathered, String>) {
    let looked = tokio::task::spawn_blocking(move || {
        let gathered = watched.gather(&journal, at_once);
        (watched, gathered)
    });
    match looked.await {
        Ok((watched, gathered)) => (Some(watched), gathered),
        Err(error) => (None, Err(format!("internal error: {error}"))),
    }
}

async fn keep(
    mut watched: Watched,
    journal: Arc<Journal>,
    clock: Arc<dyn WallClock>,
    source: Arc<Source>,
    mut stop: watch::Receiver<bool>,
) {
    let config = watched.config.clone();
    loop {
        let now = clock.now();
        source.update(|status| status.last_attempt = Some(now));
        let (back, gathered) = gather(watched, journal.clone(), false).await;
        tell(&config, &source, now, gathered);
        // What was seen is lost with a look that panicked: everything is looked at anew.
        watched = match back.map_or_else(|| Watched::new(&config), Ok) {
            Ok(watched) => watched,
            Err(_) => return,
        };
        tokio::select! {
            () = tokio::time::sleep(config.every) => {}
            () = source.rung() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn tell(config: &config::Folder, source: &Source, now: Timestamp, gathered: Result<Gathered, String>) {
    if let Ok(gathered) = &gathered {
        for (file, became) in &gathered.files {
            match became {
                Became::Imported { appended, quarantined } => {
                    tracing::info!(folder = %config.name, "{file}: imported, {appended} events, {quarantined} rows kept aside");
                }
                Became::Known => {}
                Became::Reverted => {
                    tracing::warn!(folder = %config.name, "{file}: its import was reverted: `daybook import` brings it in again");
                }
                Became::Refused(why) => tracing::warn!(folder = %config.name, "{why}"),
            }
        }
    }
    source.update(|status| {
        let every = i64::try_from(config.every.as_nanos()).unwrap_or(i64::MAX);
        status.next_attempt = Some(Timestamp::from_nanos(now.nanos().saturating_add(every)));
        match gathered {
            Ok(gathered) => {
                status.appended += gathered.appended();
                status.quarantined += gathered.quarantined();
                status.failures = u32::try_from(gathered.refused.len()).unwrap_or(u32::MAX);
                status.last_success = Some(now);
                if gathered.refused.is_empty() {
                    status.state = State::Current;
                    status.detail = (!gathered.unfinished.is_empty())
                        .then(|| format!("{} files may still be written", gathered.unfinished.len()));
                } else {
                    status.state = State::Retrying;
                    status.detail = Some(refusals(&gathered.refused));
                }
            }
            Err(why) => {
                tracing::warn!(folder = %config.name, "{why}");
                status.state = State::Retrying;
                status.failures = status.failures.saturating_add(1);
                status.detail = Some(why);
            }
        }
    });
}

/// What is wrong with files, short enough for the board.
fn refusals(refused: &BTreeMap<String, String>) -> String {
    let mut told: Vec<String> = refused
        .values()
        .take(TOLD_MAX)
        .map(|why| match why.char_indices().nth(TOLD_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &why[..end]),
            None => why.clone(),
        })
        .collect();
    if refused.len() > TOLD_MAX {
        told.push(format!("and {} more files", refused.len() - TOLD_MAX));
    }
    told.push("correct a file in its place and it is tried again; the others go on".to_owned());
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Access, NewPortfolio, Opening};
    use crate::sync::pace::MachineClock;
    use daybook_schemas::PortfolioId;
    use std::time::Duration;
    use tempfile::TempDir;

    const GOOD: &str = "time,type,amount\n2024-01-02,deposit,5\n2024-01-03,deposit,6\n";
    const OTHER: &str = "time,type,amount\n2024-02-02,deposit,7\n";
    const BAD: &str = "time,type,amount\n2024-01-02,deposit,five\n";

    struct World {
        journal: Arc<Journal>,
        config: config::Folder,
        directory: TempDir,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let opening = Opening { access: Access::Create, progress: None };
            let journal = Journal::open(&directory.path().join("data"), &opening).unwrap();
            let new = NewPortfolio::parse("Trading", "USD", "fifo", "America/New_York", "weekdays").unwrap();
            let portfolio: PortfolioId = journal.open_portfolio(&Author::operator(), &new, None).unwrap();
            let path = directory.path().join("in");
            std::fs::create_dir(&path).unwrap();
            let config = config::Folder {
                name: "downloads".to_owned(),
                path,
                format: "csv".to_owned(),
                portfolio,
                every: Duration::from_millis(30),
            };
            Self { journal: Arc::new(journal), config, directory }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.config.path.join(name), text).unwrap();
        }

        fn head(&self) -> u64 {
            self.journal.ledger().head()
        }

        fn watched(&self) -> Watched {
            Watched::new(&self.config).unwrap()
        }
    }

    #[test]
    fn a_file_is_imported_once_it_looks_the_same_twice() {
        let world = World::new();
        let mut watched = world.watched();
        let mut look = || watched.gather(&world.journal, false).unwrap();
        world.write("a.csv", GOOD);
        let head = world.head();
        assert_eq!((look().unfinished.len(), world.head()), (1, head));
        // It grows in between: it is looked at once more.
        world.write("a.csv", &format!("{GOOD}2024-01-04,deposit,7\n"));
        assert_eq!((look().unfinished.len(), world.head()), (1, head));
        let gathered = look();
        let Became::Imported { appended, .. } = gathered.files["a.csv"] else { panic!("{gathered:?}") };
        assert_eq!(
            (appended, world.head()),
            (4, head + 5),
            "an account, three deposits, and the import itself"
        );
        let head = world.head();
        let gathered = look();
        assert!(gathered.files.is_empty() && gathered.refused.is_empty(), "{gathered:?}");
        assert_eq!(world.head(), head);
        assert!(world.config.path.join("a.csv").exists(), "it stays where it is");
    }

    #[test]
    fn a_table_that_ends_in_the_middle_of_a_line_is_waited_for_even_once() {
        let world = World::new();
        let mut watched = world.watched();
        world.write("a.csv", &format!("{GOOD}2024-01-04,deposit,20"));
        let head = world.head();
        assert_eq!((watched.gather(&world.journal, true).unwrap().unfinished.len(), world.head()), (1, head));
        world.write("a.csv", &format!("{GOOD}2024-01-04,deposit,2000\n"));
        let gathered = watched.gather(&world.journal, true).unwrap();
        assert!(matches!(gathered.files["a.csv"], Became::Imported { quarantined: 0, .. }), "{gathered:?}");
    }

    #[test]
    fn a_bad_file_is_named_with_its_faults_and_the_others_go_on() {
        let world = World::new();
        let mut watched = world.watched();
        world.write("a.csv", BAD);
        world.write("b.csv", GOOD);
        let gathered = watched.gather(&world.journal, true).unwrap();
        assert!(gathered.refused["a.csv"].contains("a.csv:2: `amount`"), "{gathered:?}");
        assert!(matches!(gathered.files["b.csv"], Became::Imported { .. }));
        // It is told again, and not tried again, until it is corrected.
        let gathered = watched.gather(&world.journal, true).unwrap();
        assert!(gathered.files.is_empty() && gathered.refused.len() == 1, "{gathered:?}");
        world.write("a.csv", OTHER);
        let gathered = watched.gather(&world.journal, true).unwrap();
        assert!(gathered.refused.is_empty() && matches!(gathered.files["a.csv"], Became::Imported { .. }));
    }

    #[test]
    fn what_the_ledger_has_is_not_read_again_and_what_was_reverted_does_not_come_back() {
        let world = World::new();
        world.write("a.csv", GOOD);
        world.watched().gather(&world.journal, true).unwrap();
        let head = world.head();
        world.write("copy.csv", GOOD);
        let gathered = world.watched().gather(&world.journal, true).unwrap();
        assert_eq!(gathered.files.values().collect::<Vec<_>>(), [&Became::Known, &Became::Known]);
        assert_eq!(world.head(), head);
        let import = world.journal.library().unwrap().imports.list().last().unwrap().id;
        world.journal.revert_import(&Author::operator(), import, None, None).unwrap();
        let head = world.head();
        let gathered = world.watched().gather(&world.journal, true).unwrap();
        assert_eq!(gathered.files["a.csv"], Became::Reverted);
        assert_eq!(world.head(), head);
    }

    #[test]
    fn what_is_hidden_or_still_downloaded_is_left_alone() {
        let world = World::new();
        for name in [".a.csv", "b.csv.part", "c.csv.crdownload", "d.tmp", "e.csv~"] {
            world.write(name, GOOD);
        }
        std::fs::create_dir(world.config.path.join("folder.csv")).unwrap();
        let head = world.head();
        let gathered = world.watched().gather(&world.journal, true).unwrap();
        assert!(gathered.files.is_empty() && gathered.refused.is_empty(), "{gathered:?}");
        assert_eq!(world.head(), head);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_says_how_its_folder_is_doing() {
        let world = World::new();
        let clock: Arc<dyn WallClock> = Arc::new(MachineClock);
        let board = Board::default();
        let (tell, stop) = watch::channel(false);
        let tasks = start(std::slice::from_ref(&world.config), &world.journal, &board, &clock, &stop);
        let source = board.get("downloads").unwrap();
        let reaches = async |wanted: &dyn Fn(&super::super::board::Status) -> bool| {
            for _ in 0..500 {
                if wanted(&source.status()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("it never came to it: {:?}", source.status());
        };
        reaches(&|status| status.state == State::Current).await;
        world.write("a.csv", GOOD);
        reaches(&|status| status.appended == 3).await;
        world.write("b.csv", BAD);
        reaches(&|status| {
            status.state == State::Retrying
                && status.detail.as_ref().is_some_and(|detail| detail.contains("b.csv:2"))
        })
        .await;
        std::fs::remove_file(world.config.path.join("b.csv")).unwrap();
        reaches(&|status| status.state == State::Current).await;
        std::fs::rename(&world.config.path, world.directory.path().join("away")).unwrap();
        reaches(&|status| status.detail.as_ref().is_some_and(|detail| detail.contains("create it"))).await;
        tell.send_replace(true);
        for task in tasks {
            task.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn once_takes_files_as_they_are_and_tells_what_became_of_each() {
        let world = World::new();
        world.write("a.csv", GOOD);
        let all = run_once(std::slice::from_ref(&world.config), &world.journal).await;
        let gathered = all[0].1.as_ref().unwrap();
        assert_eq!((gathered.appended(), all[0].0.as_str()), (3, "downloads"));
        let missing = config::Folder { path: "/nowhere/at/all".into(), ..world.config.clone() };
        let all = run_once(&[missing], &world.journal).await;
        assert!(all[0].1.as_ref().unwrap_err().contains("cannot be read"));
    }
}
