-- Forgets all tokens: those handed out later begin at 1 again. Whoever compares tokens must forget the old ones, too.
DROP TABLE named_lock_fences;
