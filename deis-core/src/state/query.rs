//! Several typed reads in one call, so that they are from one moment.

use std::marker::PhantomData;

use super::{
    envelope::StoredKind,
    record::{Stored, decode},
};
use crate::port::{Found, Key, Read, Record, Revision, Scan, Store, StoreError};

/// Reads that are collected before they are asked for together.
///
/// Each gives a slot, with which its answer is taken:
///
/// ```
/// # use deis_core::{model::{App, AppName, Head}, port::StoreError, state::{keys, query::Query}, store::MemoryStore};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, name) = (MemoryStore::new(), AppName::new("blog")?);
/// let mut query = Query::new();
/// let head = query.get::<Head>(keys::head(&name));
/// let apps = query.count(keys::APPS);
/// let answers = query.read(&store).await?;
/// assert!(answers.one(head)?.is_none());
/// assert_eq!(answers.number(apps), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Query {
    reads: Vec<Read>,
}

/// Place of a record in the answers.
#[derive(Debug)]
pub struct One<T>(usize, PhantomData<fn() -> T>);

/// Place of a range in the answers.
#[derive(Debug)]
pub struct Many<T>(usize, PhantomData<fn() -> T>);

/// Place of keys without data in the answers.
#[derive(Clone, Copy, Debug)]
pub struct Keys(usize);

/// Place of a number in the answers.
#[derive(Clone, Copy, Debug)]
pub struct Number(usize);

impl<T> Clone for One<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for One<T> {}

impl<T> Clone for Many<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Many<T> {}

impl Query {
    /// No reads yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one record.
    pub fn get<T>(&mut self, key: Key) -> One<T> {
        One(self.push(Read::Get(key)), PhantomData)
    }

    /// Reads a range.
    pub fn scan<T>(&mut self, scan: Scan) -> Many<T> {
        Many(self.push(Read::Scan(scan)), PhantomData)
    }

    /// Reads the keys and revisions of a range.
    pub fn keys(&mut self, scan: Scan) -> Keys {
        Keys(self.push(Read::Scan(scan.keys_only())))
    }

    /// Counts the records below a prefix.
    pub fn count(&mut self, prefix: impl Into<String>) -> Number {
        Number(self.push(Read::count(prefix)))
    }

    /// Asks for all of them in one call.
    ///
    /// # Errors
    /// Those of [`Store::read`], and [`StoreError::Unavailable`] if the store leaves a read unanswered.
    pub async fn read(self, store: &dyn Store) -> Result<Answers, StoreError> {
        let reading = store.read(&self.reads).await?;
        let fits = |(read, found): (&Read, &Found)| {
            matches!(read, Read::Count { .. }) == matches!(found, Found::Count(_))
        };
        if reading.found.len() != self.reads.len() || !self.reads.iter().zip(&reading.found).all(fits) {
            return Err(StoreError::Unavailable("the store left a read unanswered".into()));
        }
        Ok(Answers { found: reading.found })
    }

    fn push(&mut self, read: Read) -> usize {
        self.reads.push(read);
        self.reads.len() - 1
    }
}

/// The answers to a [`Query`], all from one moment.
#[derive(Debug)]
pub struct Answers {
    found: Vec<Found>,
}

impl Answers {
    /// A record, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it cannot be decoded.
    pub fn one<T: StoredKind>(&self, slot: One<T>) -> Result<Option<Stored<T>>, StoreError> {
        self.records(slot.0).first().map(decode).transpose()
    }

    /// The records of a range with their keys.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if one cannot be decoded.
    pub fn many<T: StoredKind>(&self, slot: Many<T>) -> Result<Vec<(Key, Stored<T>)>, StoreError> {
        self.records(slot.0).iter().map(|record| Ok((record.key.clone(), decode(record)?))).collect()
    }

    /// Keys and revisions of a range.
    pub fn keys(&self, slot: Keys) -> impl Iterator<Item = (Key, Revision)> + '_ {
        self.records(slot.0).iter().map(|record| (record.key.clone(), record.revision))
    }

    /// A number of records.
    pub fn number(&self, slot: Number) -> usize {
        match self.found.get(slot.0) {
            Some(Found::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    fn records(&self, place: usize) -> &[Record] {
        match self.found.get(place) {
            Some(Found::Records(records)) => records,
            _ => &[],
        }
    }
}
