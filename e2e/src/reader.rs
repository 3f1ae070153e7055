//! What Helm reads of bytes, by its own code: programs that answer one question after the other.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::command::{CommandError, not_started};
use crate::tools::{self, Tool, ToolError};

/// The program, as long as it is asked.
#[derive(Debug)]
pub struct Reader {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The files of an archive, with the digests of their contents.
    Archive,
    /// Pairs of a constraint and a version, a line each with 0x1e between them.
    Pairs,
    /// What is recorded of a chart, the one question to Helm 3: the length of some values in four bytes, the values, the archive.
    Recorded,
    /// The signed text of a provenance file.
    Signed,
}

/// Why it says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// It does not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It ended, or answers something else.
    #[error("the reader of Helm does not answer")]
    Silent(#[source] std::io::Error),
    /// It is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl Reader {
    /// Starts that of Helm 3; built first if it is missing.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn of_helm3() -> Result<Self, ReaderError> {
        Self::start(Tool::Reader3)
    }

    /// Starts that of Helm 4; built first if it is missing.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn of_helm4() -> Result<Self, ReaderError> {
        Self::start(Tool::Reader4)
    }

    fn start(tool: Tool) -> Result<Self, ReaderError> {
        let mut command = Command::new(tools::path(tool)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| not_started(&command, error))?;
        let lost = || ReaderError::Silent(std::io::ErrorKind::BrokenPipe.into());
        Ok(Self {
            questions: child.stdin.take().ok_or_else(lost)?,
            answers: child.stdout.take().ok_or_else(lost)?,
            child,
        })
    }

    /// Its answer, as it is.
    ///
    /// # Errors
    /// If it has ended.
    pub fn ask(&mut self, question: Question, body: &[u8]) -> Result<Vec<u8>, ReaderError> {
        self.exchange(question, body).map_err(ReaderError::Silent)
    }

    /// Its answer, which is JSON; `Err` of what Helm says against it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn read(
        &mut self,
        question: Question,
        body: &[u8],
    ) -> Result<Result<Value, String>, ReaderError> {
        let answer = self.ask(question, body)?;
        let answer = serde_json::from_slice::<Value>(&answer);
        let answer = answer.map_err(|error| ReaderError::Silent(error.into()))?;
        Ok(match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        })
    }

    fn exchange(&mut self, question: Question, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let letter = match question {
            Question::Archive => b'a',
            Question::Pairs => b'v',
            Question::Recorded => b'c',
            Question::Signed => b'p',
        };
        let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
        let head = [&[letter], length.to_be_bytes().as_slice()].concat();
        self.questions.write_all(&[&head, body].concat())?;
        self.questions.flush()?;
        let mut length = [0; 4];
        self.answers.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.answers.read_exact(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
