select done_at, refusal from amends.letter_acts where id = $1
