//! All integration tests, as one binary: it links once, and a test finds its neighbours' fixtures.

mod contract; // the wire contract of `proto/`: generated code, and what requests carry beyond it
mod otlp; // fixture: spans and senders that know nothing of our own contract
mod receiver; // the OTLP receiver over real sockets: answers, limits, trees
