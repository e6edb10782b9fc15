//! The one way from files and API objects to a World: parse once, say what is wrong and where.
