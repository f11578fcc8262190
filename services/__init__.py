"""A multi-tenant queue system: a first-in-first-out lane for every user, served in fair rounds by shared workers."""
