use crate::*;
pub struct TraceQuery;
impl TraceQuery {
    pub fn new(_e: Vec<TraceEvent>) -> Self {
        Self
    }
    pub fn with_liveness(self, _f: impl Fn(InstanceId) -> Liveness) -> Self {
        self
    }
}
