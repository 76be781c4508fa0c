select definition as "definition!", amends.outline(definition, version)::text as "outline!"
from amends.definitions
order by definition, version
