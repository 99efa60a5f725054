"""The pages that people see: to log in, to allow an application something, and to look after their account."""
