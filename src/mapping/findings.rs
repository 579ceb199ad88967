//! Findings: what was noticed while a row was rendered.

/// Places of columns, in no order, with repeats. Reused from change to change.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// With values that did not have the form of their type.
    pub misfits: Vec<usize>,
    /// Left out of `data`.
    pub unchanged: Vec<usize>,
    /// With bytes that became U+FFFD.
    pub lossy: Vec<usize>,
}

impl Findings {
    pub fn clear(&mut self) {
        self.misfits.clear();
        self.unchanged.clear();
        self.lossy.clear();
    }
}
