//! The messages of `proto/`, as code. The files beside this one are made by the test
//! `generated_code_matches_the_proto_files`, whose message says how to generate them again.

pub(crate) mod common {
    pub(crate) mod v1 {
        include!("opentelemetry.proto.common.v1.rs");
    }
}
pub(crate) mod resource {
    pub(crate) mod v1 {
        include!("opentelemetry.proto.resource.v1.rs");
    }
}
pub(crate) mod trace {
    pub(crate) mod v1 {
        include!("opentelemetry.proto.trace.v1.rs");
    }
}
pub(crate) mod collector {
    pub(crate) mod trace {
        pub(crate) mod v1 {
            include!("opentelemetry.proto.collector.trace.v1.rs");
        }
    }
}
