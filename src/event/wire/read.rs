//! Reading one flat object, for tools: what our writer, the web adapter or a script emits.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value as Json};

use super::MAX_WIRE_BYTES;
use super::fields::FieldType;
use super::keys::{self, Key, own};
use crate::Text;
use crate::correlation::{AnonymousId, IdError, SessionId, UserId};
use crate::event::context::{Api, ErrorInfo, Journey, Org, Page, Performance, Snapshot, State, Ui};
use crate::event::extra::{Contexts, TypeForm};
use crate::event::metadata::Metadata;
use crate::event::value::{MAX_DEPTH, is_too_deep};
use crate::event::{Event, EventId, EventKind, Timestamp};

/// Why a line is no event. Names the field, never what was in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The line is longer than [`MAX_WIRE_BYTES`].
    #[error("{bytes} bytes are more than the {MAX_WIRE_BYTES} that an event may have")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It is not JSON, or nested too deep.
    #[error("not valid JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON, but no object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// A field that must be there is not.
    #[error("{field}: missing")]
    Missing {
        /// The field's key.
        field: &'static str,
    },
    /// A field has another type, or a value that it cannot have.
    #[error("{field}: expected {expected}")]
    Invalid {
        /// The field's key.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl Event {
    /// Reads one flat object: what [`write_wire`](Self::write_wire) writes, what the web adapter
    /// sends, or what a script puts together.
    ///
    /// * Only `event.type` is mandatory. Id, time, sequence number, session, user and project are
    ///   kept where they are given, and filled in later where they are not.
    /// * `null` is the same as absent; so are an empty `session.id`, `user.id`, `org.id`,
    ///   `event.timestamp` and tenant key, a word such as `undefined` for a session, and the zero
    ///   time of Go.
    /// * The type is kept as it is given, known or not.
    /// * Fractions in integer fields are rounded half away from zero, negative durations are zero.
    /// * `product_id` wins over `project_id`.
    /// * `user.anonymous_id` is kept (in the metadata, when written). An anonymous or user id that
    ///   cannot be one is left out.
    /// * `user_id` and `org_id` in the metadata move to their fields when those are empty: the web
    ///   adapter puts them there.
    /// * Other top-level keys move into the metadata, unless it has such a key: the service would
    ///   drop them. Of equal keys in the text the last one counts.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it is longer than [`MAX_WIRE_BYTES`], is not a JSON object, has no type,
    /// or a field is of the wrong type, or an id or time is malformed.
    ///
    /// ```
    /// use productgraph::event::Event;
    ///
    /// let event = Event::from_wire(br#"{"event.type":"page.view","page.path":"/"}"#)?;
    /// assert_eq!(event.kind().event_type(), "page.view");
    /// let error = Event::from_wire(br#"{"event.type":"api.response","api.status_code":"200"}"#);
    /// assert_eq!(
    ///     error.unwrap_err().to_string(),
    ///     "api.status_code: expected a number from 0 to 65535",
    /// );
    /// # Ok::<_, productgraph::event::wire::ReadError>(())
    /// ```
    pub fn from_wire(json: impl AsRef<[u8]>) -> Result<Self, ReadError> {
        let json = json.as_ref();
        if json.len() > MAX_WIRE_BYTES {
            return Err(ReadError::TooLarge { bytes: json.len() });
        }
        match serde_json::from_slice(json).map_err(ReadError::Json)? {
            Json::Object(map) => Self::from_object(Object(map)),
            _ => Err(ReadError::NotAnObject),
        }
    }

    pub(crate) fn from_object(mut object: Object) -> Result<Self, ReadError> {
        let event_type = object
            .non_empty(&keys::EVENT_TYPE)?
            .ok_or(ReadError::Missing {
                field: keys::EVENT_TYPE.name,
            })?;
        let name: Option<Text> = object.field(&keys::EVENT_NAME)?;
        let disguised = name
            .as_deref()
            .and_then(|name| EventKind::of_disguise(&event_type, name));
        let mut event = match disguised {
            Some(kind) => {
                let mut event = Self::new(kind);
                event.extra_mut().type_form = Some(TypeForm::Safe);
                event
            }
            None => match name {
                Some(name) => Self::of_type(event_type).with_name(name),
                None => Self::of_type(event_type),
            },
        };

        event.id = object.parsed(
            &keys::EVENT_ID,
            "1 to 255 characters of [A-Za-z0-9._:-]",
            |t| EventId::parse(t).ok(),
        )?;
        let timestamp = object
            .non_empty(&keys::EVENT_TIMESTAMP)?
            .map(|text| Timestamp::parse_set(&text))
            .transpose()
            .map_err(|_| ReadError::Invalid {
                field: keys::EVENT_TIMESTAMP.name,
                expected: "an RFC 3339 time with an offset, between the years 1677 and 2262",
            })?
            .flatten();
        if let Some(at) = timestamp {
            event.timestamp.set(at.unix_nanos());
        }
        if let Some(sequence) = object.field(&keys::EVENT_SEQUENCE)? {
            event.sequence.set(sequence);
        }
        let contexts = Contexts::take(&mut object)?;
        let duration = object.field(&keys::DURATION_MS)?;
        let has_extra = contexts != Contexts::default() || duration.is_some();
        if has_extra {
            let extra = event.extra_mut();
            extra.contexts = contexts;
            extra.duration = duration;
            event.normalise();
        }
        event.read_identity(&mut object)?;
        Ok(event)
    }

    /// Session, user, organisation, project, and the metadata in which some of them may hide.
    fn read_identity(&mut self, object: &mut Object) -> Result<(), ReadError> {
        let session = object.session_id()?;
        let user = object.non_empty(&keys::USER_ID)?;
        let org = object.non_empty(&keys::ORG_ID)?;
        let product = object.non_empty(&keys::PRODUCT_ID)?;
        let project = object.non_empty(&keys::PROJECT_ID)?;
        let anonymous = object.anonymous_id()?;
        let mut metadata = object.metadata()?;
        let user = match user {
            Some(text) => UserId::parse(&text).ok(),
            None => lift(&mut metadata, own::USER_ID.name, |text| {
                UserId::parse(text).ok()
            }),
        };
        let org = org.or_else(|| lift(&mut metadata, own::ORG_ID.name, |t| Some(Text::copied(t))));

        let any = session.is_some() || user.is_some() || org.is_some() || anonymous.is_some();
        let project = product.or(project);
        if any || project.is_some() {
            let identity = self.extra_mut().identity_mut();
            identity.session = session;
            identity.user = user;
            identity.anonymous = anonymous;
            identity.org = org.map(Org::new);
            identity.project = project;
        }
        if !metadata.is_empty() {
            self.extra_mut().metadata = Metadata::from_map(metadata);
        }
        Ok(())
    }
}

/// Takes a non-empty text out of the metadata, if it can be what it is said to be.
fn lift<T>(
    metadata: &mut Map<String, Json>,
    key: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = metadata
        .get(key)?
        .as_str()
        .filter(|text| !text.is_empty())?;
    let parsed = parse(text)?;
    metadata.remove(key);
    Some(parsed)
}

impl Contexts {
    fn take(object: &mut Object) -> Result<Self, ReadError> {
        Ok(Self {
            page: Page::take(object)?.map(Box::new),
            ui: Ui::take(object)?.map(Box::new),
            state: State::take(object)?.map(Box::new),
            journey: Journey::take(object)?.map(Box::new),
            api: Api::take(object)?.map(Box::new),
            error: ErrorInfo::take(object)?.map(Box::new),
            performance: Performance::take(object)?.map(Box::new),
            snapshot: Snapshot::take(object)?.map(Box::new),
        })
    }
}

/// A wire object, from which the fields are taken one by one.
pub(crate) struct Object(Map<String, Json>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self)
    }
}

impl Object {
    /// Takes a field; absent and `null` are the same.
    pub(crate) fn field<T: FieldType>(&mut self, key: &Key) -> Result<Option<T>, ReadError> {
        match self.0.remove(key.name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => T::read(value).map(Some).ok_or(ReadError::Invalid {
                field: key.name,
                expected: T::EXPECTED,
            }),
        }
    }

    /// Takes a text; empty is the same as absent.
    fn non_empty(&mut self, key: &Key) -> Result<Option<Text>, ReadError> {
        Ok(self.field::<Text>(key)?.filter(|text| !text.is_empty()))
    }

    fn parsed<T>(
        &mut self,
        key: &Key,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        self.field::<Text>(key)?
            .map(|text| {
                parse(&text).ok_or(ReadError::Invalid {
                    field: key.name,
                    expected,
                })
            })
            .transpose()
    }

    /// Takes the session id; empty and placeholder words are the same as absent.
    fn session_id(&mut self) -> Result<Option<SessionId>, ReadError> {
        let Some(text) = self.field::<Text>(&keys::SESSION_ID)? else {
            return Ok(None);
        };
        match SessionId::parse(&text) {
            Ok(id) => Ok(Some(id)),
            Err(IdError::Empty | IdError::Reserved) => Ok(None),
            Err(_) => Err(ReadError::Invalid {
                field: keys::SESSION_ID.name,
                expected: "1 to 128 characters of [A-Za-z0-9._:-]",
            }),
        }
    }

    fn anonymous_id(&mut self) -> Result<Option<AnonymousId>, ReadError> {
        match self.0.remove(keys::ANONYMOUS_ID) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(id)) => Ok(AnonymousId::parse(&id).ok()),
            Some(_) => Err(ReadError::Invalid {
                field: keys::ANONYMOUS_ID,
                expected: Text::EXPECTED,
            }),
        }
    }

    /// Takes the metadata together with every key that is still there.
    fn metadata(&mut self) -> Result<Map<String, Json>, ReadError> {
        let mut metadata = match self.0.remove(keys::METADATA) {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(map)) => map,
            Some(_) => {
                return Err(ReadError::Invalid {
                    field: keys::METADATA,
                    expected: "an object",
                });
            }
        };
        for (key, value) in std::mem::take(&mut self.0) {
            if !value.is_null() && !metadata.contains_key(&key) {
                metadata.insert(key, value);
            }
        }
        if metadata.values().any(is_too_deep) {
            return Err(ReadError::Invalid {
                field: keys::METADATA,
                expected: "values at most 120 levels deep",
            });
        }
        Ok(metadata)
    }
}

const _: () = assert!(MAX_DEPTH == 120, "the message above says how deep");

#[cfg(test)]
mod tests;
