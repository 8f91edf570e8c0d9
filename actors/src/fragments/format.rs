//! What tells formats apart.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

/// Names how a provider writes single events: whatever decides their bytes.
///
/// Two keys are equal if they hold equal values of one type. A type of your own therefore makes keys
/// that no other provider can make by accident. Put everything into it that changes the bytes of an event: a
/// tenant, a version, an option. What changes only the body around them (its opening, separators,
/// limits, compression) does not belong into it, nor does the address it goes to.
///
/// ```
/// use productgraph_actors::FormatKey;
///
/// #[derive(PartialEq)]
/// struct Lines { version: u32 }
///
/// assert_eq!(FormatKey::new(Lines { version: 1 }), FormatKey::new(Lines { version: 1 }));
/// assert_ne!(FormatKey::new(Lines { version: 1 }), FormatKey::new(Lines { version: 2 }));
/// assert_ne!(FormatKey::new(1_u32), FormatKey::new(Lines { version: 1 }));
/// ```
#[derive(Clone)]
pub struct FormatKey(Arc<dyn Value>);

impl FormatKey {
    /// The key that is equal to others of the same type and value.
    pub fn new<T: PartialEq + Send + Sync + 'static>(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl PartialEq for FormatKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl fmt::Debug for FormatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the value may hold what no log should
        f.debug_tuple("FormatKey").field(&self.0.name()).finish()
    }
}

trait Value: Any + Send + Sync {
    fn equals(&self, other: &dyn Any) -> bool;
    fn name(&self) -> &'static str;
}

impl<T: PartialEq + Send + Sync + 'static> Value for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }

    fn name(&self) -> &'static str {
        type_name::<T>()
    }
}
