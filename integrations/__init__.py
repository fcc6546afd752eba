"""Which call goes into which CRM, and the work of getting it there."""
