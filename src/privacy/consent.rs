//! Whether a user lets an event be sent somewhere.

use crate::{Correlation, Event};

/// What the user said about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consent {
    /// It may be sent.
    Granted,
    /// It may not.
    Denied,
}

/// What a provider needs to be allowed before it gets an event. Default: [`Explicit`](Self::Explicit).
///
/// Whether a law asks for consent, and for which destination, is not for a program to know: choose for
/// each provider. An event's own [`Consent`] comes first; what the request said (`Sec-GPC: 1`) counts
/// for events that say nothing themselves.
///
/// | | says `Denied` | says nothing, `Sec-GPC: 1` | says nothing | says `Granted` |
/// |---|---|---|---|---|
/// | `Ignore` | sent | sent | sent | sent |
/// | `Explicit` | – | sent | sent | sent |
/// | `GlobalPrivacyControl` | – | – | sent | sent |
/// | `OptIn` | – | – | – | sent |
///
/// ```
/// use productgraph::correlation::Correlation;
/// use productgraph::{Consent, ConsentPolicy, Event};
///
/// let opted_out = Correlation::builder().privacy_control(true).build();
/// let event = Event::custom("ad.shown").with_correlation(opted_out);
/// assert!(ConsentPolicy::Explicit.allows(&event));
/// assert!(!ConsentPolicy::GlobalPrivacyControl.allows(&event));
/// assert!(ConsentPolicy::OptIn.allows(&event.with_consent(Consent::Granted)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConsentPolicy {
    /// Everything is sent: for destinations that need no consent, such as an audit log.
    Ignore,
    /// Everything but what says [`Consent::Denied`].
    #[default]
    Explicit,
    /// As `Explicit`; and an event of a request with `Sec-GPC: 1` has to say [`Consent::Granted`].
    /// The header is a user's objection to sale and sharing (<https://w3c.github.io/gpc/>).
    GlobalPrivacyControl,
    /// Only what says [`Consent::Granted`].
    OptIn,
}

impl ConsentPolicy {
    /// Whether a provider with this policy gets the event. Allocates nothing.
    #[must_use]
    pub fn allows(self, event: &Event) -> bool {
        match (self, event.consent()) {
            (Self::Ignore, _) | (_, Some(Consent::Granted)) | (Self::Explicit, None) => true,
            (_, Some(Consent::Denied)) | (Self::OptIn, None) => false,
            // the objection came with the request, whichever session the event names
            (Self::GlobalPrivacyControl, None) => !event
                .correlation()
                .is_some_and(Correlation::privacy_control),
        }
    }
}
