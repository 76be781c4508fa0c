-- Mail: what was sent.

create schema if not exists mail;

create table mail.ledger (
    saga_id uuid not null,
    effect text not null,
    op text not null check (op = 'send'),
    at timestamptz not null default clock_timestamp()
);

comment on table mail.ledger is 'Every letter to a traveller. Append-only.';

create index ledger_effect on mail.ledger (effect);

-- What happened stays: a correction is another row.
create function mail.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'mail.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on mail.ledger
    for each statement execute function mail.refuse_change();
