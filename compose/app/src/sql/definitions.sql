select definition as "definition!", version as "version!", digest as "digest!",
       registered_at as "registered_at!", open_sagas as "open_sagas!", retired_at, retired_by,
       retired_reason
from amends.definitions
order by definition, version desc
