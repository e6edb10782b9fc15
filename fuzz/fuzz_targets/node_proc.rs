//! What the kernel writes of processes, sockets, routes and hardware. Names of programs and units in it are their owners' choice.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hozen_fuzz::node::proc(bytes));
