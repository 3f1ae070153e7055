//! The fence: what the operator's service account may write by RBAC and is refused nevertheless. Whoever
//! has its token can no more than the operator does by itself. Every write is a dry run by that very
//! service account on the real server, where admission decides as always.

mod deployers;
mod own;
mod workloads;
mod yard;
