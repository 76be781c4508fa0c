-- Notification: what was sent.

create schema if not exists notification;

create table notification.ledger (
    saga_id uuid not null,
    op text not null check (op = 'send'),
    at timestamptz not null default clock_timestamp()
);

comment on table notification.ledger is 'Every message to a customer. Append-only.';

create index ledger_saga on notification.ledger (saga_id);

-- What happened stays: a correction is another row.
create function notification.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'notification.ledger is append-only: % is refused', lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end
$$;

create trigger append_only before update or delete or truncate on notification.ledger
    for each statement execute function notification.refuse_change();
