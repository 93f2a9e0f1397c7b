//! System ring: the shipped binaries as an operator meets them.
