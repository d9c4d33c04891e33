use crate::{Answer, arguments::CollectorArguments, fault::Fault};
pub(crate) fn run(_: &CollectorArguments) -> Result<Answer, Fault> {
    Err(Fault::usage(""))
}
