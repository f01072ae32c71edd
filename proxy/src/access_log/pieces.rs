//! A log format, taken apart so that a line is written with as few steps as possible.

use portcullis_model::{Known, Part, Template, Variable};

use super::literal::Literal;
use super::stage::{HeadVariable, Stage, stage};

/// A log format by when its parts are known.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// What is written down of a request head.
    pub(super) request: Vec<HeadPiece>,
    /// What is written down of a response head.
    pub(super) response: Vec<HeadPiece>,
    /// What comes before the first variable that is known at the end.
    pub(super) first: Gap,
    /// Variables that are known at the end.
    pub(super) late: Vec<LatePiece>,
}

/// A variable of a head with the text that follows it.
#[derive(Debug)]
pub(super) struct HeadPiece {
    pub(super) variable: HeadVariable,
    pub(super) after: Literal<16>,
    /// Whether what comes next in the line is not of this head.
    pub(super) ends_run: bool,
}

/// A variable that is known at the end.
#[derive(Debug)]
pub(super) struct LatePiece {
    pub(super) known: Known,
    pub(super) after: Gap,
}

/// What stands between two variables that are known at the end: mostly nothing but a short text.
#[derive(Debug, Default)]
pub(super) struct Gap {
    pub(super) text: Literal<16>,
    /// What was written down of which head, one run of it each.
    pub(super) runs: Vec<Head>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Head {
    Request,
    Response,
}

impl Pieces {
    pub(super) fn of(format: &Template) -> Self {
        let mut pieces = Self::default();
        for part in format.parts() {
            match part {
                Part::Literal(text) => pieces.add_text(text.as_bytes()),
                Part::Capture(group) => pieces.add_text(&[b'$', b'0' + group]),
                Part::Variable(variable) => pieces.add_variable(variable),
            }
        }
        pieces
    }

    fn last(&mut self) -> &mut Gap {
        self.late.last_mut().map_or(&mut self.first, |piece| &mut piece.after)
    }

    fn of_head(&mut self, head: Head) -> &mut Vec<HeadPiece> {
        match head {
            Head::Request => &mut self.request,
            Head::Response => &mut self.response,
        }
    }

    fn add_text(&mut self, text: &[u8]) {
        // What follows a variable of a head is written down with it.
        let head = self.last().runs.last().copied();
        match head.and_then(|head| self.of_head(head).last_mut()) {
            Some(piece) => piece.after.append(text),
            None => self.last().text.append(text),
        }
    }

    fn add_variable(&mut self, variable: &Variable) {
        match (stage(variable), variable) {
            (Stage::Request, _) => self.add_of_head(Head::Request, variable),
            (Stage::Response, _) => self.add_of_head(Head::Response, variable),
            (Stage::End, Variable::Known(known)) => {
                self.late.push(LatePiece { known: *known, after: Gap::default() });
            }
            // No other variable is known at the end only.
            (Stage::End, _) => {}
        }
    }

    fn add_of_head(&mut self, head: Head, variable: &Variable) {
        let goes_on = self.last().runs.last() == Some(&head);
        if !goes_on {
            self.last().runs.push(head);
        } else if let Some(before) = self.of_head(head).last_mut() {
            before.ends_run = false;
        }
        let variable = HeadVariable::new(variable);
        self.of_head(head).push(HeadPiece { variable, after: Literal::default(), ends_run: true });
    }
}
