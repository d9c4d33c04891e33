use crate::{Answer, arguments::RegistryArguments, fault::Fault};
pub(crate) fn run(_: &RegistryArguments) -> Result<Answer, Fault> {
    Err(Fault::usage(""))
}
