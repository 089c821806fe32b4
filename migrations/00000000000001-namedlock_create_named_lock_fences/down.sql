-- Forgets all tokens: later ones start at 1 again. Systems that compare tokens must forget the old ones, too.
DROP TABLE named_lock_fences;
