//! Tokens of the operator's own `ServiceAccount`, while they are good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::sources::TokenAudience;

/// The tokens in use, and what is known of whom they are of.
#[derive(Default)]
pub struct Tokens {
    /// Who the operator is, once that was asked.
    pub account: OnceCell<Account>,
    kept: Mutex<BTreeMap<String, Token>>,
    /// One asks at a time: all who wait share what comes.
    pub turn: tokio::sync::Mutex<()>,
}

/// The operator's own `ServiceAccount`.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Whoever is shown a token for one of these may act as the operator.
    pub of_api_server: BTreeSet<String>,
}

/// One that was given.
#[derive(Clone)]
pub struct Token {
    /// When it was asked for.
    pub issued: Instant,
    /// From when on another one is used.
    pub ends: Instant,
    /// Itself.
    pub text: Zeroizing<String>,
}

/// Why no token is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The API server takes such tokens.
    #[error(
        "is an audience of the API server: whoever is sent such a token could act as the operator; choose \
         one of the registry's own"
    )]
    ApiServer,
    /// No administrator has said so.
    #[error(
        "is not paired with this host: only `--token-audience HOST[:PORT]=AUDIENCE` of the operator \
         (sources.tokenAudiences of the chart) lets tokens be sent there"
    )]
    Unpaired,
}

impl Tokens {
    /// Whether a token for an audience may be sent to an address, as far as is known.
    pub fn check(
        &self,
        pairs: &[TokenAudience],
        (address, audience): (&str, &str),
    ) -> Result<(), Refused> {
        let account = self.account.get();
        if account.is_some_and(|account| account.of_api_server.contains(audience)) {
            return Err(Refused::ApiServer);
        }
        let is_paired = pairs.iter().any(|pair| pair.covers(address, audience));
        is_paired.then_some(()).ok_or(Refused::Unpaired)
    }

    /// Whether it is known which audiences are the API server's.
    pub fn are_known(&self) -> bool {
        self.account.initialized()
    }
}

impl Tokens {
    /// The token for an audience, if there is a good one.
    pub fn find(&self, audience: &str, now: Instant) -> Option<Token> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(audience).filter(|token| token.ends > now).cloned()
    }

    /// Keeps a token for an audience.
    pub fn keep(&self, audience: &str, token: Token) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, other| other.ends > token.issued);
        kept.insert(audience.to_owned(), token);
    }

    /// Forgets a token that was refused, if another may be asked for already: whoever refuses each one has none
    /// asked for at every look.
    pub fn forget(&self, audience: &str, refused: &str, now: Instant) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(audience) {
            Some(token) if token.text.as_str() != refused => true,
            Some(token) if now < token.issued + SHORTEST_LIFE => false,
            Some(_) | None => {
                kept.remove(audience);
                true
            }
        }
    }
}

/// How long one is used at least, whatever becomes of it.
pub const SHORTEST_LIFE: Duration = Duration::from_secs(10);
