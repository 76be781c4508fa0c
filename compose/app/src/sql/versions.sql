select definition as "definition!", version as "version!", digest as "digest!",
       retired_at is not null as "retired!", open_sagas as "open_sagas!",
       amends.outline(definition, version)::text as "outline!"
from amends.definitions
order by definition, version
