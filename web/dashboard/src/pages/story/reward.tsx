import { Anchor, Card, Group, Table, Title } from '@mantine/core'
import { Link } from 'react-router'
import type { Schemas } from '../../api/client'
import { IdLink } from '../../parts/ids'
import { money } from '../../parts/number'
import { Outcome } from '../../parts/outcome'
import { When } from '../../parts/time'
import { Wide } from '../../parts/wide'
import { Facts, SearchLink } from './event'

/** RewardPart shows a reward and the lines that it has in the ledger. */
export function RewardPart({ story }: { story: Schemas['RewardStory'] }) {
  const r = story.reward
  return (
    <Card withBorder component="section" aria-label={`Reward of ${r.amount} ${r.currency}`} id={r.id}>
      <Group gap="xs" mb="xs">
        <Title order={2} size="h4">
          Reward: {money(r.amount)} {r.currency}
        </Title>
        <Outcome of={r.state} />
      </Group>
      <Facts
        of={[
          ['Reward', r.id && <IdLink key="id" id={r.id} copy />],
          ['For', <SearchLink key="user" filter={{ app: r.app, user: r.user, kind: 'event' }}>{r.user}</SearchLink>],
          ['By', r.rule === '-' ? 'a person, by hand' : <Anchor key="rule" component={Link} to={`/rewards/rules/${r.app}/${encodeURIComponent(r.rule)}`} inherit>rule {r.rule}</Anchor>],
          ['Decided', r.at && <When key="at" at={r.at} />],
          ['Held until', r.until && <When key="until" at={r.until} />],
          ['Why', r.why],
          ['Transaction', r.transaction],
        ]}
      />
      {story.lines.length > 0 && (
        <Wide minWidth={420}>
          <Table mt="xs" verticalSpacing={4} aria-label="Lines in the ledger">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">When</Table.Th>
                <Table.Th scope="col" ta="right">
                  Amount
                </Table.Th>
                <Table.Th scope="col">Cause</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {story.lines.map((l) => (
                <Table.Tr key={l.n}>
                  <Table.Td>
                    <When at={l.at} />
                  </Table.Td>
                  <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
                    {money(l.amount)} {l.currency}
                  </Table.Td>
                  <Table.Td className="foreign">
                    <IdLink id={l.event} /> {l.why}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Wide>
      )}
    </Card>
  )
}
