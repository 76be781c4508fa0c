select name, version from amends.definition where retired_at is not null
