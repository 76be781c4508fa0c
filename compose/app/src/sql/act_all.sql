-- Only the function that is asked for is called.
select a.saga as "saga!", a.act as "act!" from amends.retry_all($2, $3, $4, $5, $6) a where $1::text = 'retry'
union all
select a.saga, a.act from amends.skip_all($2, $3, $4, $5, $6) a where $1::text = 'skip'
union all
select a.saga, a.act from amends.resolve_all($2, $3, $4, $5, $7::text::json, $6) a where $1::text = 'resolve'
union all
select a.saga, a.act from amends.cancel_all($2, $3, $4, $5, $6) a where $1::text = 'cancel'
union all
select a.saga, a.act from amends.pause_all($2, $3, $4, $5, $6) a where $1::text = 'pause'
union all
select a.saga, a.act from amends.resume_all($2, $3, $4, $5, $6) a where $1::text = 'resume'
