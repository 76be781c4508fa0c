select started as "started!", ended as "ended!", at as "at!" from amends.flow
