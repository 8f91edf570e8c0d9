//! What happens to an event for which there is no room, and which events come first.

/// What a full engine does with one more event.
///
/// Full means that the ring has no free place or that the event's bytes do not fit under the ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuses the new event. The default: what was accepted stays.
    #[default]
    DropNewest,
    /// Drops the oldest events that wait in the ring until the new one fits. Events that have left the
    /// ring are never dropped for it; if they hold all the room, the new event is refused.
    DropOldest,
    /// Keeps an eighth of the ring and of the ceiling for [`Priority::High`]: normal events are refused
    /// above seven eighths. A high event that finds everything full drops the oldest normal events of
    /// the ring, and the oldest high ones only when there is no normal one. Takes memory for a ring for
    /// each priority.
    ByPriority,
}

/// How much an event matters when there is little room. Looked at only under [`Overflow::ByPriority`],
/// of the engine or of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// May be refused early. The default.
    #[default]
    Normal,
    /// Outlives normal events.
    High,
}

/// How an ingress is made.
pub(crate) struct IngressOptions<E> {
    /// Events in the ring; at least one.
    pub(crate) capacity: usize,
    /// Bytes that the engine may hold, in the ring and after it.
    pub(crate) max_bytes: usize,
    pub(crate) overflow: Overflow,
    /// The bytes that an event holds.
    pub(crate) weigh: fn(&E) -> usize,
    /// Asked once for an event, if anybody wants to know.
    pub(crate) priority: Option<fn(&E) -> Priority>,
    /// Neither of the two ever panics.
    pub(crate) trusted: bool,
}

/// What one event may use up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) places: usize,
    pub(super) bytes: usize,
    /// Whether older events give way.
    pub(super) evicts: bool,
}

impl Overflow {
    /// The limit of an event. Never zero places, so that waiting for room ends.
    #[inline]
    pub(super) fn limit(self, priority: Priority, capacity: usize, ceiling: usize) -> Limit {
        let all = Limit {
            places: capacity,
            bytes: ceiling,
            evicts: false,
        };
        match self {
            Self::DropNewest => all,
            Self::DropOldest => Limit {
                evicts: true,
                ..all
            },
            Self::ByPriority => match priority {
                Priority::High => Limit {
                    evicts: true,
                    ..all
                },
                Priority::Normal => Limit {
                    places: capacity - capacity / 8,
                    bytes: ceiling - ceiling / 8,
                    evicts: false,
                },
            },
        }
    }
}
