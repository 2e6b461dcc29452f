import { Group, Select, Tabs } from '@mantine/core'
import { DatePickerInput } from '@mantine/dates'
import { Navigate, Route, Routes, useLocation, useNavigate } from 'react-router'
import { useSession } from '../../api/session'
import { useApps } from '../../parts/apps'
import { searchOf, useFilter } from '../../parts/filter'
import { Page } from '../../parts/page'
import Breakdown from './breakdown'
import Funnel from './funnel'
import Reasons from './reasons'
import Reconcile from './reconcile'
import { dayOf, spanOf } from './span'
import Times from './times'

const tabs = [
  { path: 'table', title: 'Breakdown', component: Breakdown },
  { path: 'funnel', title: 'Funnel', component: Funnel },
  { path: 'times', title: 'Time to confirm', component: Times },
  { path: 'reasons', title: 'Reasons', component: Reasons },
  { path: 'reconcile', title: 'Reconcile', component: Reconcile, needs: 'list-statements' },
]

/** Reports counts what was, by days and by whatever else, and explains where a network's numbers differ. */
export default function Reports() {
  const [filter, setFilter] = useFilter()
  const apps = useApps()
  const { may } = useSession()
  const navigate = useNavigate()
  const { pathname, search } = useLocation()
  const shown = tabs.filter((t) => !t.needs || may(t.needs))
  const active = pathname.split('/')[2] ?? 'table'
  const span = spanOf(filter)
  return (
    <Page title="Reports" about="Counted in the same commit as the events themselves. Days are those of your time zone.">
      {active !== 'reconcile' && (
        <Group gap="sm" align="flex-end">
          <DatePickerInput
            type="range" label="Days" w={260} valueFormat="D MMM YYYY" allowSingleDateInRange value={[span.firstDay, span.lastDay]} maxDate={new Date()} highlightToday
            onChange={([from, to]) => from && to && setFilter({ from, to })}
            presets={[
              { value: days(0), label: 'Today' },
              { value: days(6), label: 'Last 7 days' },
              { value: days(29), label: 'Last 30 days' },
            ]}
          />
          <Select
            label="App" placeholder="All apps" clearable w={200} data={apps.data?.map((a) => ({ value: a.name, label: a.title || a.name })) ?? []}
            value={filter.app ?? null} onChange={(app) => setFilter({ app: app ?? '', source: '' })}
          />
        </Group>
      )}
      <Tabs value={active} onChange={(tab) => void navigate(`/reports/${tab}${searchOf({ app: filter.app, from: filter.from, to: filter.to })}`)} keepMounted={false}>
        <Tabs.List>
          {shown.map((t) => (
            <Tabs.Tab key={t.path} value={t.path}>
              {t.title}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={active} pt="md">
          <Routes>
            {shown.map((t) => (
              <Route key={t.path} path={t.path} element={<t.component />} />
            ))}
            <Route path="*" element={<Navigate to={`/reports/table${search}`} replace />} />
          </Routes>
        </Tabs.Panel>
      </Tabs>
    </Page>
  )
}

function days(back: number): [string, string] {
  return [dayOf(new Date(Date.now() - back * 86_400_000)), dayOf(new Date())]
}
