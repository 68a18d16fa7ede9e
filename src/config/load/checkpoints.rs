//! The section of checkpoints: where they are sent to, so that they leave this machine.

use super::super::section::Section;
use super::super::{Checkpoints, values};
use super::Loading;

impl Loading<'_> {
    pub(super) fn checkpoints(&mut self, mut section: Section<'_, '_>) -> Option<Checkpoints> {
        let directory = section.path(&mut self.reading, "directory");
        let url = section.text(&mut self.reading, "url", values::receiver);
        let said = section.spot_of("directory").or(section.spot_of("url")).is_some();
        let every = self.interval(&mut section, "every", "1h");
        let timeout = self.interval(&mut section, "timeout", "10s");
        let allow_link_local = section.switch(&mut self.reading, "allow_link_local");
        let spot = section.spot();
        section.finish(&mut self.reading);
        if !said && directory.is_none() && url.is_none() {
            let why = "it says nowhere to send them: write `directory = \"PATH\"`, `url = \"https://host/path\"`, or both";
            self.reading.fault(spot, None, why);
            return None;
        }
        Some(Checkpoints { directory, url, every: every?, timeout: timeout?, allow_link_local })
    }
}
