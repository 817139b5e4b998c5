//! Asking a person before something is done that can't be undone.

use std::io::{self, BufRead, IsTerminal, Write};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    /// There is nobody to ask.
    #[error("this can't be undone, and standard input is no terminal to ask at: say --yes")]
    NobodyToAsk,
    /// The person typed something else.
    #[error("nothing was done")]
    Declined,
    /// Standard input can't be read, or the question not be shown.
    #[error("can not ask: {0}")]
    Terminal(#[from] io::Error),
}

/// Asks at the terminal, unless it was answered before (`--yes`). Only `answer`, typed out, means yes.
///
/// # Errors
/// [`ConfirmError`].
pub(crate) fn confirm(question: &str, answer: &str, yes: bool) -> Result<(), ConfirmError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(ConfirmError::NobodyToAsk);
    }
    ask(question, answer, &mut io::stdin().lock(), &mut io::stderr())
}

fn ask(
    question: &str,
    answer: &str,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<(), ConfirmError> {
    write!(output, "{question}\nType `{answer}` to go on: ")?;
    output.flush()?;
    let mut typed = String::new();
    input.read_line(&mut typed)?;
    if typed.trim() == answer {
        Ok(())
    } else {
        Err(ConfirmError::Declined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(typed: &str) -> (Result<(), ConfirmError>, String) {
        let mut output = Vec::new();
        let answered = ask(
            "Everything of anna goes.",
            "anna",
            &mut typed.as_bytes(),
            &mut output,
        );
        (answered, String::from_utf8(output).unwrap())
    }

    #[test]
    fn only_the_answer_itself_means_yes() {
        for typed in ["anna\n", "anna\r\n", " anna \n", "anna"] {
            assert!(asked(typed).0.is_ok(), "{typed:?}");
        }
        for typed in ["", "\n", "y\n", "yes\n", "ann\n", "Anna\n", "bert\nanna\n"] {
            assert!(matches!(asked(typed).0, Err(ConfirmError::Declined)), "{typed:?}");
        }
    }

    #[test]
    fn the_question_says_what_to_type() {
        assert_eq!(asked("").1, "Everything of anna goes.\nType `anna` to go on: ");
    }

    #[test]
    fn yes_asks_nobody() {
        assert!(confirm("?", "anna", true).is_ok());
    }
}
