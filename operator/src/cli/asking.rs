//! What commands take that tell what the cluster and its operator say. Touches nothing.

use clap::Args;

use super::cluster::Connection;
use super::leading::Operator;
use super::screen::Format;

/// How to ask, and how to print what is told.
#[derive(Args, Clone, Debug)]
pub struct Asking {
    /// Prints for programs.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}
