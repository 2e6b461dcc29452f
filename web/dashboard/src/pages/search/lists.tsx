import { Anchor, Table, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { attemptWords } from '../../parts/attempt'
import { type Filter, searchOf } from '../../parts/filter'
import { storyPath } from '../../parts/ids'
import { money } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { Paged, usePaged } from '../../parts/paged'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { type Kind, type Listing, listings, narrowed, type Rows } from './kinds'

/** A Column is how one field of a row is shown. */
interface Column<T> {
  title: string
  right?: boolean
  of: (row: T) => ReactNode
}

const story = (id: string, words: string) => (
  <Anchor component={Link} to={storyPath(id)} size="sm" aria-label={`${words}, story of ${id}`}>
    {words}
  </Anchor>
)

/** A word that strangers chose is not broken before it has to be: the column is as wide as it, within bounds. */
const bounded = { whiteSpace: 'pre-wrap', overflowWrap: 'break-word' } as const

const mono = (text?: string) => (
  <Text size="sm" className="mono" maw={200} style={bounded}>
    {text}
  </Text>
)

const userLink = (app: string, user?: string) =>
  user && (
    <Anchor component={Link} to={`/search${searchOf({ app, user, kind: 'event' })}`} size="sm" display="block" maw={200} style={bounded}>
      {user}
    </Anchor>
  )

const refusalColumns: Column<Rows['refused']>[] = [
  { title: 'Received', of: (r) => <When at={r.received.at} /> },
  { title: 'Source', of: (r) => <Anchor component={Link} to={`/sources/${r.app}/${r.source}`} size="sm">{r.app}/{r.source}</Anchor> },
  {
    title: 'Why',
    of: (r) => (
      <>
        <Outcome of={r.id ? 'refused' : 'unverified'} words={r.reason.replaceAll('_', ' ')} />
        <Text size="xs" c="dimmed" className="foreign" maw={320}>
          {r.detail}
        </Text>
      </>
    ),
  },
  {
    title: 'What was sent',
    of: (r) => (
      <Text size="xs" className="mono foreign" maw={420} lineClamp={3}>
        {r.received.method} {r.received.path}
        {r.received.query && `?${r.received.query}`}
      </Text>
    ),
  },
  { title: 'From', of: (r) => mono(r.received.client) },
  { title: '', of: (r) => r.id && story(r.id, 'Story') },
]

const columns: { [K in Kind]: Column<Rows[K]>[] } = {
  event: [
    { title: 'Received', of: (e) => <When at={e.at} /> },
    { title: 'Event', of: (e) => <>{story(e.id, [e.event_type, e.reward_event_type.replace('_', ' ')].filter(Boolean).join(', ') || 'event')} {e.held && <Outcome of="held" size="xs" />}</> },
    { title: 'Source', of: (e) => (e.source === 'carom' ? 'made here' : <Anchor component={Link} to={`/sources/${e.app}/${e.source}`} size="sm">{e.app}/{e.source}</Anchor>) },
    { title: 'User', of: (e) => userLink(e.app, e.telegram_id || e.user_id) },
    { title: 'ymid', of: (e) => mono(e.ymid) },
    { title: 'Zone', of: (e) => mono([e.zone_id, e.sub_zone_id].filter(Boolean).join(' / ')) },
    { title: 'request_var', of: (e) => mono(e.request_var) },
    { title: 'Estimate', right: true, of: (e) => <Text span size="sm">{e.estimated_price ? money(e.estimated_price) : ''}</Text> },
  ],
  delivery: [
    { title: 'Accepted', of: (d) => <When at={d.at} /> },
    { title: 'Delivery', of: (d) => story(d.id, `${d.event_type}${d.reward ? ', reward' : ''}` || 'delivery') },
    { title: 'State', of: (d) => <Outcome of={d.state} /> },
    { title: 'Endpoint', of: (d) => (d.endpoint.startsWith('#') ? `${d.endpoint} (deleted)` : <Anchor component={Link} to={`/endpoints/${d.endpoint}`} size="sm">{d.endpoint}</Anchor>) },
    { title: 'User', of: (d) => userLink(d.app, d.user) },
    { title: 'ymid', of: (d) => mono(d.ymid) },
    { title: 'Attempts', right: true, of: (d) => d.attempts },
    {
      title: 'Last answer',
      of: (d) => (
        <Text size="sm" className="foreign" maw={320} lineClamp={2}>
          {d.last && attemptWords(d.last)}
        </Text>
      ),
    },
  ],
  refused: refusalColumns,
  unverified: refusalColumns,
  view: [
    { title: 'Opened', of: (v) => <When at={v.opened_at} /> },
    { title: 'View', of: (v) => story(v.view_id, 'Story') },
    { title: 'State', of: (v) => <Outcome of={v.state} /> },
    { title: 'App', of: (v) => v.app },
    { title: 'User', of: (v) => userLink(v.app, v.user) },
    { title: 'ymid', of: (v) => mono(v.ymid) },
    { title: 'Placement', of: (v) => mono(v.placement) },
    { title: 'What became of it', of: (v) => <Text size="sm" className="foreign" maw={360}>{v.words}</Text> },
  ],
}

const empty: Record<Kind, string> = {
  event: 'Events appear here when a network has sent postbacks that could be believed. Live shows what comes in, believed or not.',
  delivery: 'A delivery is made when an event passes the filter of an endpoint.',
  refused: 'Every postback that was proved could be used.',
  unverified: 'Nobody has sent anything that proved nothing. A bounded sample of such postbacks is kept.',
  view: 'Views are opened by your backend or your Mini App before the ad is shown: POST /v1/views.',
}

/** How many slices are read in a row while they are empty: what is rare is far between. */
const looks = 5

/** ListPart shows a list, newest first. */
export function ListPart<K extends Kind>({ kind, filter }: { kind: K; filter: Filter }) {
  const listing: Listing<K> = listings[kind]
  const asked = narrowed(filter, listing.words)
  const any = Object.keys(asked).length > 0
  const query = usePaged(['list', kind, asked], async (before) => {
    let slice = await listing.read(asked, 50, before)
    for (let i = 1; i < looks && slice.rows.length === 0 && slice.next; i++) slice = await listing.read(asked, 50, slice.next)
    return slice
  })
  const shown: Column<Rows[K]>[] = columns[kind]
  return (
    <Paged
      query={query} rows={(slice) => slice.rows}
      empty={
        <Empty title={any ? `No ${listing.noun} fit the filter` : `No ${listing.noun} yet`}>{any ? 'Clear a part of it, or look at a longer time.' : empty[kind]}</Empty>
      }
    >
      {(rows) => (
        <Wide minWidth={kind === 'unverified' ? 700 : 860}>
          <Table striped highlightOnHover verticalSpacing={4} aria-label={`${listing.title}, newest first`}>
            <Table.Thead>
              <Table.Tr>
                {shown.map((c) => (
                  <Table.Th key={c.title} scope="col" ta={c.right ? 'right' : undefined}>
                    {c.title}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {rows.map((row, i) => (
                <Table.Tr key={i}>
                  {shown.map((c) => (
                    <Table.Td key={c.title} ta={c.right ? 'right' : undefined}>
                      {c.of(row)}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Wide>
      )}
    </Paged>
  )
}
