//! Where new keys are written: standard output, or a new file that its owner alone can read.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write, stdout};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::args::SettingArgs;
use crate::failure::Failure;

/// Where new keys are written.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Standard,
    /// A file that was made for them.
    File {
        /// Its path, as it was given.
        path: PathBuf,
        /// The file.
        file: File,
        /// How much of it is whole lines.
        length: u64,
    },
}

impl Destination {
    /// Makes the file. One that is there already is left alone: the keys in it may be nowhere else.
    pub(crate) fn open(path: Option<&Path>, settings: &SettingArgs) -> Result<Self, Failure> {
        let path = match path {
            None => return Ok(Self::Standard),
            Some(path) if path != Path::new("-") => path,
            Some(_) if settings.json => {
                return Err(Failure::usage("--output - and --json would both write to standard output; name a file"));
            }
            Some(_) => return Ok(Self::Standard),
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| {
            let problem = match error.kind() {
                ErrorKind::AlreadyExists => "is there already and is left as it is; name a file that is not".to_owned(),
                _ => format!("cannot be made: {error}"),
            };
            Failure::refused(format!("--output {} {problem}", path.display()))
        })?;
        Ok(Self::File { path: path.to_owned(), file, length: 0 })
    }

    /// The file's name, if it is one.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Standard => None,
            Self::File { path, .. } => Some(path.display().to_string()),
        }
    }

    /// That it cannot be written to.
    pub(crate) fn unwritten(&self, error: &io::Error) -> Failure {
        match self.name() {
            None => Failure::unwritten(error),
            Some(file) => Failure::refused(format!("{file} cannot be written: {error}")),
        }
    }

    /// Writes whole lines, or none of them to a file.
    pub(crate) fn write_lines<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        // Filled at full size where it is known, so that growing leaves fewer copies behind.
        let lines: Vec<&str> = lines.into_iter().collect();
        let mut text = Zeroizing::new(String::with_capacity(lines.iter().map(|line| line.len() + 1).sum()));
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        match self {
            Self::Standard => {
                let mut out = stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::File { file, length, .. } => match file.write_all(text.as_bytes()) {
                Ok(()) => {
                    *length += text.len() as u64;
                    Ok(())
                }
                Err(error) => {
                    let _ = file.set_len(*length).and_then(|()| file.seek(io::SeekFrom::Start(*length)));
                    Err(error)
                }
            },
        }
    }

    /// Sees that a file is on disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Standard => Ok(()),
            Self::File { file, .. } => file.sync_all(),
        }
    }

    /// Takes away a file that no key was written to.
    pub(crate) fn remove_if_empty(&self) {
        if let Self::File { path, length: 0, .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}
