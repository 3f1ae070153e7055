//! What the door would say of records that are stored already, for whoever asks before a mode is set.
//!
//! Reads what the door reads, and asks whom it asks, with the rights of whoever runs it. Writes nothing.

use std::time::Duration;

use kube::Client;

use super::known::Trusting;
use super::{Answer, Comes, Door, NotReady, Settings};
use crate::clock::Moment;
use crate::inventory::submitted::SubmittedRecord;
use crate::parse::LoadedPolicy;

/// A door with one policy.
pub struct Hindsight {
    door: Door,
    trusting: Trusting,
}

/// How long keys and namespaces are read.
const LONGEST: Duration = Duration::from_secs(30);

impl Hindsight {
    /// Reads keys and namespaces once, and takes this policy in place of those that there are.
    ///
    /// # Errors
    /// [`NotReady`], if they cannot be read in half a minute.
    pub async fn read(
        client: Client,
        settings: Settings,
        policy: LoadedPolicy,
    ) -> Result<Self, NotReady> {
        let door = Door::new(client, settings);
        let mut reading = door.known.reading();
        let read = async {
            tokio::select! {
                () = Box::pin(door.known.follow()) => None,
                read = reading.wait_for(Option::is_some) => read.ok()?.clone(),
            }
        };
        let read = tokio::time::timeout(LONGEST, read).await;
        let read = read.ok().flatten().ok_or(NotReady)?;
        let authorities = door.known.authorities(&policy.policy).await;
        let authorities = authorities.map_err(|_| NotReady)?;
        let mut trusting = read.under(policy);
        trusting.authorities.extend(authorities);
        Ok(Self { door, trusting })
    }

    /// What would be said of a record, by what is known now.
    pub async fn of(&self, record: SubmittedRecord) -> Answer {
        let judging = self
            .door
            .judge((record, Comes::Stored), &self.trusting, Moment::now());
        Box::pin(judging).await
    }
}
