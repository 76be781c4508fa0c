select payloads as "payloads!" from amends.rights
