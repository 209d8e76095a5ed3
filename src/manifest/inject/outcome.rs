//! What came of an injection, or will.

use std::borrow::Cow;

use crate::injectable::{Nothing, ObjectId};
use crate::manifest::edit::Edit;
use crate::manifest::error::DocumentError;

/// A manifest after injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected<'a> {
    /// The manifest; the input itself when nothing changed. A document with an error stays as it
    /// was.
    pub output: Cow<'a, [u8]>,
    /// The caBundles that changed.
    pub changes: Vec<Change>,
    /// Objects of our kinds without anything to inject into.
    pub notes: Vec<Note>,
    /// Documents that could not be read or changed.
    pub errors: Vec<DocumentError>,
}

/// A caBundle that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object.
    pub object: ObjectId,
    /// The webhook, for kinds that have several.
    pub webhook: Option<String>,
    /// JSON pointer, within the object, of the mapping that holds the caBundle.
    pub pointer: String,
    /// The number of the document.
    pub document: usize,
    /// The line in the input: of the caBundle, or of what it was added to.
    pub line: usize,
    /// Whether the field was there before.
    pub edited: Edited,
    /// `insecureSkipTLSVerify: true` became false, since the API server accepts only one of the two.
    pub verify: bool,
}

/// How a caBundle changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// There was no such field.
    Added,
    /// Its value was replaced.
    Replaced,
    /// It stays: only `insecureSkipTLSVerify` changed.
    Kept,
}

/// An object of our kinds without anything to inject into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The object.
    pub object: ObjectId,
    /// The number of its document.
    pub document: usize,
    /// Its line.
    pub line: usize,
    /// Why.
    pub nothing: Nothing,
}

/// What is to change in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InjectedDocument {
    /// The edits, in order, by their places in the stream; see [`edited`](super::edited).
    pub edits: Vec<Edit>,
    /// The caBundles that change.
    pub changes: Vec<Change>,
    /// Objects of our kinds without anything to inject into.
    pub notes: Vec<Note>,
    /// How many client configs there are, whether they change or not.
    pub configs: usize,
}
