//! Cases that came to mind only after the rules were settled.
