use crate::{Answer, arguments::ViewArguments, fault::Fault};
pub(crate) fn run(_: &ViewArguments) -> Result<Answer, Fault> {
    Err(Fault::usage(""))
}
