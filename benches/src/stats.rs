//! Medians and quantiles.

/// The q-th quantile of a sorted slice; zero of an empty one.
pub fn quantile<T: Copy + Default>(sorted: &[T], q: f64) -> T {
    let index = (sorted.len() as f64 * q) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// The median, `NaN` of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
