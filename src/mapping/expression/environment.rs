//! What expressions know beside the row: CEL's standard library and its string
//! functions (`lowerAscii`, `split`, `replace` ...).

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelList, CelMap, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

/// Gives a comprehension its elements: the keys of a map in their order, which
/// CEL leaves open. Without it a body would differ from run to run.
pub(super) const IN_ORDER: &str = "@in_order";

static ENVIRONMENT: LazyLock<Result<Arc<Env>, DeclarationError>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)?;
    env.add_overload(IN_ORDER, "in_order_dyn", vec![DYN_TYPE], in_order)?;
    Ok(Arc::new(env))
});

/// The same for all expressions: it holds nothing of a row.
pub(super) fn environment() -> Result<Arc<Env>, DeclarationError> {
    ENVIRONMENT.clone()
}

fn in_order<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let range = arguments
        .into_iter()
        .next()
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    let Some(map) = range.downcast_ref::<CelMap>() else {
        return Ok(range);
    };
    let mut keys: Vec<_> = map.keys().collect();
    keys.sort_unstable();
    let keys: Vec<Box<dyn Val + 'v>> = keys
        .into_iter()
        .map(|key| key.inner().clone_as_boxed())
        .collect();
    Ok(CowVal::owned(CelList::from(keys)))
}
