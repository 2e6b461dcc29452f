import { Button } from '@mantine/core'
import { IconGift, IconScale } from '@tabler/icons-react'
import { useState } from 'react'
import { useSession } from '../../api/session'
import { useFilter } from '../../parts/filter'
import { Page } from '../../parts/page'
import { Sections } from '../../parts/sections'
import { CheckLedger } from './check'
import { GrantDialog } from './grant'
import { RewardList } from './list'
import { Rules } from './rules'
import { Users } from './users'

/** Rewards shows what events have earned, by which rules, and what each user has. */
export default function Rewards() {
  const { may } = useSession()
  const [filter] = useFilter()
  const [dialog, setDialog] = useState<'grant' | 'check' | null>(null)
  return (
    <Page
      title="Rewards"
      about="A rule says which events earn what. Each view earns once, for ever; a balance is the sum of its lines."
      actions={
        <>
          {may('check-ledger') && (
            <Button variant="default" leftSection={<IconScale size={16} aria-hidden />} onClick={() => setDialog('check')}>
              Check the ledger
            </Button>
          )}
          {may('grant-reward') && (
            <Button leftSection={<IconGift size={16} aria-hidden />} onClick={() => setDialog('grant')}>
              Grant by hand
            </Button>
          )}
        </>
      }
    >
      <Sections
        base="/rewards"
        label="Rewards"
        sections={[
          { path: '', title: 'Rewards', needs: 'list-rewards', element: <RewardList /> },
          { path: 'rules', title: 'Rules', needs: 'list-rules', element: <Rules /> },
          { path: 'users', title: 'Users', needs: 'list-ledger', element: <Users /> },
        ]}
      />
      <GrantDialog opened={dialog === 'grant'} onClose={() => setDialog(null)} app={filter.app} user={filter.user} />
      {may('check-ledger') && <CheckLedger opened={dialog === 'check'} onClose={() => setDialog(null)} />}
    </Page>
  )
}
