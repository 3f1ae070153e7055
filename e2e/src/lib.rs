//! Test bed and user stories.
