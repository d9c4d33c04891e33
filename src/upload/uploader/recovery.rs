//! Recovery of runs whose process died before it sealed them.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use super::state::{MAX_FILE_BYTES, Uploader};
use crate::model::span::LineWriter;
use crate::platform::{self, is_missing};
use crate::spool::directory::RunState;
use crate::spool::listing::SpooledRun;
use crate::spool::outcome::Outcome;
use crate::spool::read::{count_spans, read_run};
use crate::spool::run_file::claim_dead;

impl Uploader<'_> {
    /// Seals the run of a dead process. Returns false if the process lives or the file holds no run.
    ///
    /// This process may be killed after any step. The next uploader then continues, because the file's content shows how many
    /// spans an incomplete last line lost, until the file's name counts them.
    pub(super) fn recover(&self, entry: &mut SpooledRun) -> io::Result<bool> {
        let path = self.spool.runs().join(entry.name.open());
        let Some(mut file) = claim_dead(&path)? else {
            return Ok(false);
        };
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        if length <= MAX_FILE_BYTES {
            file.read_to_end(&mut bytes)?;
        }
        let Some(mut run) = read_run(&bytes, self.allowlist.data_points, self.tool) else {
            let damaged = self.spool.outcomes().join(Outcome::Damaged.file_name(entry.name));
            platform::rename(&path, damaged)?;
            return Ok(false);
        };
        let torn = bytes.len() - run.whole;
        let torn_spans = count_spans(&bytes[run.whole..]);
        if torn > 0 {
            // Blank lines replace the incomplete line, one for each span in it. The line ends come first, so that an
            // incomplete write of them also counts the spans.
            let mut blanks = vec![b' '; torn];
            blanks[..torn_spans as usize - 1].fill(b'\n');
            blanks[torn - 1] = b'\n';
            file.seek(SeekFrom::Start(run.whole as u64))?;
            file.write_all(&blanks)?;
        }
        let dropped = run.blank_lines.saturating_add(torn_spans as u32);
        entry.name.dropped_spans = entry.name.dropped_spans.saturating_add(dropped);
        if run.ending().is_none() {
            run.cut_off();
            let mut line = Vec::new();
            if let Some(root) = run.spans.first() {
                LineWriter::new(self.allowlist.data_points, run.tool(self.tool)).write(root, &mut line);
            }
            file.seek(SeekFrom::End(0))?;
            if let Err(error) = file.write_all(&line) {
                // An incomplete line would be counted as a lost span of the tool.
                let _ = file.set_len(length);
                return Err(error);
            }
        }
        match platform::rename(&path, self.spool.runs().join(entry.name.sealed())) {
            Ok(()) => {
                entry.state = RunState::Sealed;
                Ok(true)
            }
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
