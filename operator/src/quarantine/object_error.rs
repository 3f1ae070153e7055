//! One object that the API server does not let be read or written: it is told, tried again at the
//! next look, and holds up nothing else.

use kube::core::Status;

use crate::api::bounds;

/// What stands in the way of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectError {
    /// What is to be said about it.
    pub why: String,
    /// Whether the server could not, so that it may help to ask again soon; else it would not.
    pub is_passing: bool,
    /// Whether nobody knows how the object is.
    pub is_unread: bool,
}

impl ObjectError {
    /// What an answer says about one object. `None` if there was no answer, or none that is about
    /// the object: then nothing else can be asked for either.
    pub fn of_write(error: &kube::Error) -> Option<Self> {
        Self::of(error, "refuses the change")
    }

    /// The same, of an object that was to be read.
    pub fn of_read(error: &kube::Error) -> Option<Self> {
        let error = Self::of(error, "does not let it be read")?;
        Some(Self {
            is_unread: true,
            ..error
        })
    }

    /// Nobody can tell how it is, for a reason that is not the server's.
    pub fn unread(why: String) -> Self {
        Self {
            why,
            is_passing: false,
            is_unread: true,
        }
    }

    /// Others write the object each time before we do.
    pub fn conflict_limit() -> Self {
        Self {
            why: "is changed by others all the time".to_owned(),
            is_passing: false,
            is_unread: false,
        }
    }

    fn of(error: &kube::Error, verb: &str) -> Option<Self> {
        let kube::Error::Api(status) = error else {
            return None;
        };
        if status.code == TOO_MANY_REQUESTS {
            return None;
        }
        let why = format!(
            "the API server {verb} ({}): {}",
            status.code,
            message_of(status)
        );
        Some(Self {
            why: bounds::fit(&why, LONGEST),
            is_passing: status.code == CONFLICT || status.code >= FIRST_OF_SERVER,
            is_unread: false,
        })
    }
}

/// What the server says, without values of the object and without what differs each time.
fn message_of(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<_> = causes
        .map(|cause| cause.field.as_str())
        .filter(|field| !field.is_empty())
        .collect();
    if !fields.is_empty() {
        return format!("{} is not valid", fields.join(", "));
    }
    if status.code >= FIRST_OF_SERVER {
        let parts: Vec<_> = status.message.splitn(3, ": ").take(2).collect();
        return parts.join(": ");
    }
    status.message.clone()
}

/// Asks everybody to be slower, whatever the object.
const TOO_MANY_REQUESTS: u16 = 429;
/// Somebody else wrote at the same time, even if nothing of it is left to be seen.
const CONFLICT: u16 = 409;
/// From here on the server could not, below it would not.
const FIRST_OF_SERVER: u16 = 500;
/// Longest text about one object, in bytes; several of them stand in one condition.
const LONGEST: usize = 400;

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn answer(code: u16, message: &str) -> Status {
        Status::failure(message, "any").with_code(code)
    }

    fn of(status: Status) -> Option<ObjectError> {
        ObjectError::of_write(&kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        let refused = of(answer(403, "policy 'frozen' denied request: not today")).unwrap();
        assert!(!refused.is_passing && !refused.is_unread);
        assert_eq!(
            refused.why,
            "the API server refuses the change (403): policy 'frozen' denied request: not today"
        );
    }

    #[test]
    fn values_of_the_object_are_not_repeated() {
        let cause = StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: "Invalid value: password=canary".to_owned(),
            field: "spec.template".to_owned(),
        };
        let details = StatusDetails {
            name: "web".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            uid: String::new(),
            causes: vec![cause],
            retry_after_seconds: 0,
        };
        let status = answer(422, "Invalid value: password=canary").with_details(details);
        let why = of(status).unwrap().why;
        assert!(!why.contains("canary"), "{why}");
        assert!(why.ends_with("spec.template is not valid"), "{why}");
    }

    #[test]
    fn a_server_that_cannot_says_which_webhook_and_not_which_port() {
        let message = "Internal error occurred: failed calling webhook \"x.example.com\": \
                       Post \"https://10.0.0.1\": read tcp 10.0.0.2:43210";
        let error = of(answer(500, message)).unwrap();
        assert!(error.is_passing);
        assert!(
            error.why.ends_with("webhook \"x.example.com\""),
            "{error:?}"
        );
    }

    #[test]
    fn a_conflict_passes() {
        assert!(
            of(answer(409, "the object has been modified"))
                .unwrap()
                .is_passing
        );
        assert!(!of(answer(422, "not valid")).unwrap().is_passing);
    }

    #[test]
    fn what_is_not_about_the_object_is_no_error_of_it() {
        assert_eq!(of(answer(429, "slow down")), None);
        assert_eq!(
            ObjectError::of_write(&kube::Error::LinesCodecMaxLineLengthExceeded),
            None
        );
    }

    #[test]
    fn what_says_nothing_of_fields_is_told_in_its_words() {
        let cause = StatusCause {
            reason: "Other".to_owned(),
            message: "canary".to_owned(),
            field: String::new(),
        };
        let details = StatusDetails {
            name: "web".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            uid: String::new(),
            causes: vec![cause],
            retry_after_seconds: 0,
        };
        let why = of(answer(403, "not today").with_details(details)).unwrap();
        assert!(why.why.ends_with("(403): not today"), "{}", why.why);
    }

    #[test]
    fn a_long_answer_is_cut() {
        let why = of(answer(403, &"x".repeat(5000))).unwrap().why;
        assert!(why.len() <= LONGEST, "{}", why.len());
    }

    #[test]
    fn what_is_no_answer_of_the_server_passes_only_by_others() {
        let unread = ObjectError::unread("its kind is not known".to_owned());
        assert!(unread.is_unread && !unread.is_passing);
        let limit = ObjectError::conflict_limit();
        assert!(!limit.is_unread && !limit.is_passing);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_unread() {
        let error = kube::Error::Api(answer(403, "no get").boxed());
        assert!(ObjectError::of_read(&error).unwrap().is_unread);
    }
}
