//! The password of a database: from the environment, the URL or the terminal. Never shown.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::target::Given;
use crate::exit::Problem;

/// Where a password is looked for first.
const VARIABLE: &str = "RESTORE_PROOF_PASSWORD";

/// The password of a user.
///
/// # Errors
/// When there is none to be had.
pub(super) async fn find(given: &Given, username: &str) -> Result<String, Problem> {
    match std::env::var(VARIABLE) {
        Ok(password) => return Ok(password),
        Err(std::env::VarError::NotPresent) => {}
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(Problem::usage(format!("{VARIABLE} is not UTF-8 text")));
        }
    }
    if let Some(password) = &given.password {
        return Ok(password.clone());
    }
    let none = || {
        Problem::usage(format!("there is no password for {username}")).help(format!(
            "set the environment variable {VARIABLE} (empty if the server asks for none), or run this in a terminal"
        ))
    };
    // Without a terminal nobody can answer.
    let terminal = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| none())?;
    let silent = Silent::make(terminal).map_err(|_| none())?;
    let question = format!("Password of {}: ", crate::output::printable(username));
    let mut asked = silent.terminal.try_clone().map_err(|_| none())?;
    let answered = tokio::task::spawn_blocking(move || {
        asked.write_all(question.as_bytes())?;
        let mut line = String::new();
        BufReader::new(&asked).read_line(&mut line)?;
        asked.write_all(b"\n")?;
        Ok::<_, std::io::Error>(line)
    });
    // When this is dropped at Ctrl-C, the terminal echoes again.
    let line = answered.await.map_err(|_| none())?.map_err(|_| none())?;
    drop(silent);
    if line.is_empty() {
        return Err(none());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn make(terminal: File) -> Result<Silent, rustix::io::Errno> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Silent { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing better can be done when the terminal has gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
