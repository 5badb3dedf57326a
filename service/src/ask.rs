//! A secret from whoever sits there, or from what is piped in: never from the command line, which every user of a machine can read.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

const MAX_BYTES: u64 = 4_096;

/// Asks on the terminal, unseen and twice where it is a new one; without a terminal, the first line of the standard input.
pub fn secret(what: &str, is_new: bool) -> io::Result<SecretString> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return first_line(&mut stdin.lock());
    }
    let ask = |what: &str| {
        write!(io::stderr(), "{what}: ")?;
        io::stderr().flush()?;
        let hidden = Hidden::begin()?;
        let read = first_line(&mut stdin.lock());
        drop(hidden);
        writeln!(io::stderr())?;
        read
    };
    let first = ask(what)?;
    if is_new && ask("again")?.expose_secret() != first.expose_secret() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the two are not the same"));
    }
    Ok(first)
}

/// Without its line break.
fn first_line(from: &mut impl BufRead) -> io::Result<SecretString> {
    let mut line = Zeroizing::new(String::new());
    from.by_ref().take(MAX_BYTES).read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was given"));
    }
    Ok(text.into())
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing is left to be done where it does not work.
        let _shown_again = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_taken_without_its_end() {
        let read =
            |text: &str| first_line(&mut text.as_bytes()).map(|secret| secret.expose_secret().to_owned());
        for text in ["a b ", "a b \n", "a b \r\n", "a b \nmore\n"] {
            assert_eq!(read(text).unwrap(), "a b ");
        }
        for text in ["", "\n", "\r\n"] {
            assert_eq!(read(text).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
